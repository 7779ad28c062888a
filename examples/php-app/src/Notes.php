<?php
declare(strict_types=1);

/** The notes in the database, which remembers every version of them. */
final class Notes
{
    public function __construct(private PDO $db)
    {
        $db->setAttribute(PDO::ATTR_DEFAULT_FETCH_MODE, PDO::FETCH_ASSOC);
        $db->setAttribute(PDO::ATTR_TIMEOUT, 10); // writers wait for each other
        if ((int) $db->query('PRAGMA user_version')->fetchColumn() === 0) {
            $db->exec('BEGIN IMMEDIATE;
                CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL);
                PRAGMA user_version = 1;
                COMMIT');
        }
    }

    /** @return list<array<string, mixed>> */
    public function all(string $search): array
    {
        $q = $this->db->prepare('SELECT id, title, text, at FROM note WHERE title LIKE ?1 OR text LIKE ?1 ORDER BY id DESC LIMIT 100');
        $q->execute(['%' . $search . '%']);
        return $q->fetchAll();
    }

    /** @return array<string, mixed>|null */
    public function find(int $id): ?array
    {
        $q = $this->db->prepare('SELECT id, title, text, at FROM note WHERE id = ?');
        $q->execute([$id]);
        return $q->fetch() ?: null;
    }

    public function add(string $title, string $text): int
    {
        $this->db->prepare('INSERT INTO note(title, text, at) VALUES(?, ?, ?)')->execute([$title, $text, gmdate('Y-m-d H:i:s')]);
        return (int) $this->db->lastInsertId();
    }

    public function delete(int $id): void
    {
        $this->db->prepare('DELETE FROM note WHERE id = ?')->execute([$id]);
    }

    /** The version of the database, as hako db log has it. */
    public function version(): int
    {
        return (int) $this->db->query('SELECT hako_version()')->fetchColumn();
    }
}
