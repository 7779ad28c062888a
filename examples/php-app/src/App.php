<?php
declare(strict_types=1);

/** Routes, pages and the token that forms carry. */
final class App
{
    /** @var list<array{string, string, callable}> */
    private array $routes = [];

    public function __construct(private Notes $notes, private string $templates)
    {
        $_SESSION['token'] ??= bin2hex(random_bytes(16));
    }

    public function get(string $path, callable $answer): void
    {
        $this->routes[] = ['GET', $path, $answer];
    }

    public function post(string $path, callable $answer): void
    {
        $this->routes[] = ['POST', $path, $answer];
    }

    public function run(string $method, string $path): void
    {
        $allowed = [];
        foreach ($this->routes as [$of, $pattern, $answer]) {
            if (!preg_match("#^$pattern$#D", $path, $parts)) {
                continue;
            }
            if ($of !== ($method === 'HEAD' ? 'GET' : $method)) {
                $allowed[] = $of;
                continue;
            }
            if ($of === 'POST' && !hash_equals($_SESSION['token'], (string) ($_POST['token'] ?? ''))) {
                http_response_code(403);
                $this->page('error', ['text' => 'This form is too old. Go back and load the page again.']);
                return;
            }
            $answer(...array_slice($parts, 1));
            return;
        }
        if ($allowed) {
            header('Allow: ' . implode(', ', $allowed));
            http_response_code(405);
            return;
        }
        $this->missing();
    }

    public function missing(): void
    {
        http_response_code(404);
        $this->page('error', ['text' => 'There is no such page.']);
    }

    public function redirect(string $to): void
    {
        header("Location: $to", true, 303);
    }

    public function json(mixed $value): void
    {
        header('Content-Type: application/json');
        echo json_encode($value, JSON_THROW_ON_ERROR);
    }

    /** @param array<string, mixed> $values */
    public function page(string $template, array $values): void
    {
        $e = fn (string $s): string => htmlspecialchars($s, ENT_QUOTES);
        $token = $_SESSION['token'];
        extract($values);
        ob_start();
        require "$this->templates/$template.php";
        $content = ob_get_clean();
        require "$this->templates/page.php";
    }
}
