<?php
/**
 * Plugin Name: Hako
 * Description: What WordPress needs to know of the server that it runs in.
 */
defined( 'ABSPATH' ) || exit;

// XML-RPC is off: nothing but attackers has used it since the REST API is there.
if ( defined( 'XMLRPC_REQUEST' ) ) {
	status_header( 403 );
	header( 'Content-Type: text/plain; charset=utf-8' );
	exit( "XML-RPC is off.\n" );
}
add_filter( 'xmlrpc_enabled', '__return_false' );
add_filter( 'pings_open', '__return_false' );
remove_action( 'wp_head', 'rsd_link' );
add_filter(
	'wp_headers',
	function ( $headers ) {
		unset( $headers['X-Pingback'] );
		return $headers;
	}
);

/*
 * Mail. There is no sendmail in the box: mail goes by SMTP to the server that
 * SMTP_URL names, whose address the app has to be granted; else it is not sent,
 * the log says so, and whoever waits for it is told.
 */
add_filter(
	'pre_wp_mail',
	function ( $sent, $mail ) {
		if ( null !== $sent || getenv( 'SMTP_URL' ) ) {
			return $sent;
		}
		$count = is_array( $mail['to'] ) ? count( $mail['to'] ) : count( explode( ',', $mail['to'] ) );
		error_log( sprintf( 'mail "%s" for %d was not sent: SMTP_URL names no server', $mail['subject'], $count ) );
		return false;
	},
	10,
	2
);
add_action(
	'phpmailer_init',
	function ( $mailer ) {
		$url = parse_url( (string) getenv( 'SMTP_URL' ) );
		if ( empty( $url['host'] ) ) {
			return;
		}
		$mailer->isSMTP();
		$mailer->Host = $url['host'];
		$mailer->Port = $url['port'] ?? ( 'smtps' === ( $url['scheme'] ?? '' ) ? 465 : 587 );
		if ( 'smtps' === ( $url['scheme'] ?? '' ) ) {
			$mailer->SMTPSecure = 'ssl';
		}
		if ( isset( $url['user'] ) ) {
			$mailer->SMTPAuth = true;
			$mailer->Username = rawurldecode( $url['user'] );
			$mailer->Password = rawurldecode( $url['pass'] ?? '' );
		}
		if ( getenv( 'SMTP_FROM' ) ) {
			$mailer->setFrom( getenv( 'SMTP_FROM' ), $mailer->FromName, false );
		}
	}
);

/*
 * Requests of the site to itself, as of Site Health, go to the address WP_SELF,
 * which the app is granted: behind a proxy, or by a name that only browsers
 * know, the site would not find itself.
 */
add_filter(
	'pre_http_request',
	function ( $response, $args, $url ) {
		$self = getenv( 'WP_SELF' );
		$to   = parse_url( $url );
		$home = parse_url( WP_HOME );
		if ( false !== $response || ! $self || ! empty( $args['hako'] ) || empty( $to['host'] )
			|| 0 !== strcasecmp( $to['host'], $home['host'] ) || ( $to['port'] ?? 0 ) !== ( $home['port'] ?? 0 ) ) {
			return $response;
		}
		$args['hako']               = true;
		$args['reject_unsafe_urls'] = false;
		$args['headers']            = is_array( $args['headers'] ) ? $args['headers'] : array();
		$args['headers']['Host']    = $to['host'] . ( isset( $to['port'] ) ? ':' . $to['port'] : '' );
		// It would not pay to compress what stays within the machine.
		$args['headers']['Accept-Encoding'] = 'identity';
		if ( 'https' === $to['scheme'] ) {
			$args['headers']['X-Forwarded-Proto'] = 'https';
		}
		return wp_remote_request( 'http://' . $self . ( $to['path'] ?? '/' ) . ( isset( $to['query'] ) ? '?' . $to['query'] : '' ), $args );
	},
	10,
	3
);

/*
 * HTTPS trusts whom the server's machine trusts, and not the list that comes with
 * WordPress, which is as old as that.
 */
add_filter(
	'http_request_args',
	function ( $args ) {
		if ( ABSPATH . WPINC . '/certificates/ca-bundle.crt' === ( $args['sslcertificates'] ?? '' ) && is_readable( '/etc/ssl/cert.pem' ) ) {
			$args['sslcertificates'] = '/etc/ssl/cert.pem';
		}
		return $args;
	}
);

/*
 * Without WP_UPDATES the app has no way to wordpress.org, and does not ask there
 * for what is new: an answer that is no use is quicker than none.
 */
if ( ! getenv( 'WP_UPDATES' ) ) {
	add_filter(
		'pre_http_request',
		function ( $response, $args, $url ) {
			if ( false !== $response || ! preg_match( '/(^|\.)wordpress\.org$/i', (string) parse_url( $url, PHP_URL_HOST ) ) ) {
				return $response;
			}
			return array(
				'headers'  => array(),
				'body'     => '',
				'response' => array( 'code' => 503, 'message' => 'WP_UPDATES is not set' ),
				'cookies'  => array(),
				'filename' => null,
			);
		},
		10,
		3
	);
	// Lists of plugins and themes say why they are empty.
	$hako_closed = function ( $result ) {
		return false !== $result ? $result : new WP_Error(
			'hako_not_granted',
			'This site may not ask wordpress.org. To let it, add "api.wordpress.org:443" and "downloads.wordpress.org:443" to network in hako.toml and set WP_UPDATES = "1" there. A plugin or theme can be uploaded as a zip file without that.'
		);
	};
	add_filter( 'plugins_api', $hako_closed, 100 );
	add_filter( 'themes_api', $hako_closed, 100 );
	add_filter( 'translations_api', $hako_closed, 100 );
	remove_action( 'init', 'wp_schedule_update_checks' );
	add_action(
		'wp_dashboard_setup',
		function () {
			remove_meta_box( 'dashboard_primary', 'dashboard', 'side' ); // news from wordpress.org
		}
	);
}

/*
 * What hako.toml does not grant cannot even be looked up. WordPress would speak of
 * its server's configuration and point to its forum.
 */
if ( getenv( 'WP_UPDATES' ) ) {
	add_filter(
		'pre_http_request',
		function ( $response, $args, $url ) {
			$host = (string) parse_url( $url, PHP_URL_HOST );
			if ( false !== $response || ! preg_match( '/(^|\.)wordpress\.org$/i', $host ) || gethostbyname( $host ) !== $host ) {
				return $response;
			}
			return new WP_Error( 'http_request_failed', sprintf( '%1$s was not found: "%1$s:443" is not in network in hako.toml, or the server has no way to it.', $host ) );
		},
		20,
		3
	);
	add_filter(
		'plugins_api_result',
		function ( $result ) {
			// The reason instead of the advice to ask in a forum.
			$why = is_wp_error( $result ) ? $result->get_error_data( 'plugins_api_failed' ) : null;
			return is_string( $why ) && $why ? new WP_Error( 'plugins_api_failed', $why ) : $result;
		}
	);
	add_filter(
		'themes_api_result',
		function ( $result ) {
			$why = is_wp_error( $result ) ? $result->get_error_data( 'themes_api_failed' ) : null;
			return is_string( $why ) && $why ? new WP_Error( 'themes_api_failed', $why ) : $result;
		}
	);
}

add_filter(
	'site_status_tests',
	function ( $tests ) {
		foreach ( array( 'utf8mb4_support', 'sql_server', 'persistent_object_cache' ) as $of_mysql ) {
			unset( $tests['direct'][ $of_mysql ] );
		}
		unset( $tests['async']['background_updates'], $tests['direct']['update_temp_backup_writable'] );
		if ( ! getenv( 'WP_UPDATES' ) ) {
			unset( $tests['async']['dotorg_communication'] );
		}
		return $tests;
	}
);

/*
 * Requests are answered by forks of a frozen instance that has compiled scripts
 * in its memory. This header has the server freeze another one, in a moment,
 * that has those of new plugins and themes, or of a site that was just installed.
 */
$hako_renew = function () {
	if ( ! headers_sent() ) {
		header( 'X-Hako-Renew: 1' );
	}
};
foreach ( array( 'switch_theme', 'activated_plugin', 'deactivated_plugin', 'upgrader_process_complete' ) as $hako_change ) {
	add_action( $hako_change, $hako_renew );
}
add_action(
	'wp_login',
	function () use ( $hako_renew ) {
		if ( function_exists( 'opcache_is_script_cached' ) && ! opcache_is_script_cached( ABSPATH . 'wp-admin/includes/dashboard.php' ) ) {
			$hako_renew();
		}
	}
);
