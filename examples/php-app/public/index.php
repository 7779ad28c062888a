<?php
// The front controller: every path that is no file comes here.
declare(strict_types=1);

spl_autoload_register(fn (string $class) => require __DIR__ . '/../src/' . $class . '.php');
session_start(['cookie_httponly' => true, 'cookie_samesite' => 'Lax']);

$notes = new Notes(new PDO('sqlite:/db/notes.sqlite'));
$app = new App($notes, __DIR__ . '/../templates');

$app->get('/', fn () => $app->page('list', ['notes' => $notes->all((string) ($_GET['q'] ?? '')), 'q' => (string) ($_GET['q'] ?? '')]));
$app->get('/notes/(\d+)', fn (string $id) => ($note = $notes->find((int) $id)) ? $app->page('note', ['note' => $note]) : $app->missing());
$app->post('/notes', function () use ($app, $notes) {
    $title = trim($_POST['title'] ?? '');
    $text = trim($_POST['text'] ?? '');
    if (preg_match('/^.{1,100}$/u', $title) !== 1 || strlen($text) > 10_000) {
        http_response_code(422);
        $app->page('list', ['notes' => $notes->all(''), 'q' => '', 'error' => 'A note needs a title, of 100 letters at most.']);
        return;
    }
    $app->redirect('/notes/' . $notes->add($title, $text));
});
$app->post('/notes/(\d+)/delete', function (string $id) use ($app, $notes) {
    $notes->delete((int) $id);
    $app->redirect('/');
});
$app->get('/api/notes', fn () => $app->json(['version' => $notes->version(), 'notes' => $notes->all('')]));

$app->run($_SERVER['REQUEST_METHOD'], rawurldecode(strtok($_SERVER['REQUEST_URI'], '?')));
