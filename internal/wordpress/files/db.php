<?php
/**
 * Plugin Name: Hako database
 * Description: Opens the site's Hako database for the SQLite integration.
 *
 * The database has no folder that a file could be made in, so it is opened
 * here, and not by the integration, which would look for one.
 */
define( 'SQLITE_DB_DROPIN_VERSION', '1.8.0' );

$GLOBALS['@pdo'] = new PDO(
	'sqlite:' . DB_DIR . '/' . DB_FILE,
	null,
	null,
	array(
		PDO::ATTR_ERRMODE           => PDO::ERRMODE_EXCEPTION,
		PDO::ATTR_STRINGIFY_FETCHES => true,
		PDO::ATTR_TIMEOUT           => 30, // seconds that a writer waits for others
	)
);
require_once __DIR__ . '/mu-plugins/sqlite-database-integration/wp-includes/sqlite/db.php';
