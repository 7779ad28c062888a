// Package wordpress makes the folder of a WordPress site that hako up serves.
//
// A [Source] is where WordPress and its SQLite integration come from: the
// package @wp-playground/wordpress-builds of the npm registry, which carries
// both, or files of the user's. [Create] makes the folder:
//
//	hako.toml                what is served: edit it
//	php-hako.wasm, php.wasm  PHP that answers requests, and PHP for hako exec
//	wordpress/               WordPress itself; the guest only reads it
//	wordpress/wp-config.php  its configuration, with keys of this site alone
//	wp-content/              themes, plugins, uploads; the guest may write here
//	sessions/                of plugins that use PHP's sessions
//	tools/                   programs for hako exec, as wp-cli.phar
//
// The database is one of Hako's and lies with its history in the data
// directory, .hako unless the configuration says otherwise.
package wordpress
