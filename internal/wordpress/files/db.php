<?php
/**
 * Plugin Name: Hako database
 * Description: Opens the site's Hako database for the SQLite integration.
 *
 * The database has no folder that a file could be made in, so it is opened
 * here, and not by the integration, which would look for one.
 */
defined( 'ABSPATH' ) || exit;

define( 'SQLITE_DB_DROPIN_VERSION', '1.8.0' );

/**
 * A connection whose writing transactions begin as such.
 *
 * The integration puts each query into a transaction, begins it by BEGIN and
 * reads before it writes. SQLite cannot let such a transaction wait for another
 * writer, since what it has read may be old then: the query would fail, as
 * "database is locked".
 */
class Hako_PDO extends PDO {
	/** Whether the transactions that begin now are to write. */
	public bool $writing = false;

	#[ReturnTypeWillChange]
	public function prepare( $query, $options = array() ) {
		if ( 'BEGIN' === $query && $this->writing ) {
			$query = 'BEGIN IMMEDIATE';
		}
		return parent::prepare( $query, $options );
	}
}

$GLOBALS['@pdo'] = new Hako_PDO(
	'sqlite:' . DB_DIR . '/' . DB_FILE,
	null,
	null,
	array(
		PDO::ATTR_ERRMODE           => PDO::ERRMODE_EXCEPTION,
		PDO::ATTR_STRINGIFY_FETCHES => true,
		PDO::ATTR_TIMEOUT           => 30, // seconds that a writer waits for others
	)
);
// There is nothing to do by the clock before the site is installed.
if ( defined( 'DOING_CRON' ) ) {
	$hako_installed = $GLOBALS['@pdo']->prepare( "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?" );
	$hako_installed->execute( array( $GLOBALS['table_prefix'] . 'options' ) );
	if ( ! $hako_installed->fetchColumn() ) {
		exit;
	}
	unset( $hako_installed );
}

add_filter(
	'pre_query_sqlite_db',
	function ( $result, $translator, $statement ) {
		$GLOBALS['@pdo']->writing = ! preg_match( '/^[\s(]*(?:SELECT|SHOW|DESCRIBE|DESC|EXPLAIN|SET|CHECK|ANALYZE)\b/i', $statement );
		return $result;
	},
	10,
	3
);
require_once __DIR__ . '/mu-plugins/sqlite-database-integration/wp-includes/sqlite/db.php';
