<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Notes</title>
<link rel="stylesheet" href="/assets/style.css">
<header><a href="/">Notes</a></header>
<main><?= $content ?></main>
