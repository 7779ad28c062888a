<?php
/*
 * Requested while the server starts, before an instance is frozen for forks:
 * compiles the scripts that administration and REST need, so that no request
 * does. There is nothing in it for visitors.
 */
if ( 'hako-warm-up' !== ( $_SERVER['HTTP_X_REQUEST_ID'] ?? '' ) && 'cli' !== PHP_SAPI ) {
	http_response_code( 404 );
	exit;
}
define( 'WP_ADMIN', true );
require __DIR__ . '/wp-load.php';
// The answer is given first: a script that does not compile is no reason not to
// start. Nor is it one to complain: plugins declare functions that are
// WordPress's own in scripts which it does not load, as those of networks.
header( 'Content-Type: text/plain' );
echo "warm\n";
flush();
ini_set( 'log_errors', '0' );
if ( function_exists( 'opcache_compile_file' ) && opcache_get_status( false ) ) {
	foreach ( array( 'wp-admin', 'wp-admin/includes', 'wp-includes', 'wp-includes/rest-api', 'wp-includes/rest-api/endpoints', 'wp-includes/blocks' ) as $folder ) {
		foreach ( glob( ABSPATH . $folder . '/*.php' ) as $file ) {
			// noop.php declares functions of WordPress a second time.
			$unused = 'noop.php' === basename( $file ) || ! is_multisite() && str_starts_with( basename( $file ), 'ms-' );
			if ( ! $unused && ! opcache_is_script_cached( $file ) ) {
				opcache_compile_file( $file );
			}
		}
	}
}
