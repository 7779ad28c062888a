<h1><?= $e($note['title']) ?></h1>
<small><?= $e($note['at']) ?></small>
<p><?= nl2br($e($note['text'])) ?></p>
<form method="post" action="/notes/<?= $note['id'] ?>/delete">
  <input type="hidden" name="token" value="<?= $token ?>">
  <button>Delete</button>
</form>
