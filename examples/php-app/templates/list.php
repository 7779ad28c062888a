<form><input name="q" value="<?= $e($q) ?>" placeholder="Search" aria-label="Search"></form>
<?php if (isset($error)): ?><p class="error"><?= $e($error) ?></p><?php endif ?>
<form method="post" action="/notes">
  <input type="hidden" name="token" value="<?= $token ?>">
  <input name="title" placeholder="Title" aria-label="Title" required maxlength="100">
  <textarea name="text" placeholder="Text" aria-label="Text"></textarea>
  <button>Add</button>
</form>
<?php foreach ($notes as $note): ?>
<article><a href="/notes/<?= $note['id'] ?>"><?= $e($note['title']) ?></a> <small><?= $e($note['at']) ?></small></article>
<?php endforeach ?>
<?php if (!$notes): ?><p>There is nothing here yet.</p><?php endif ?>
