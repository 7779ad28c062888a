<p class="error"><?= $e($text) ?></p>
