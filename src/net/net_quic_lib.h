#pragma once
/*
 * The libraries of QUIC, loaded when somebody wants QUIC for the first time: linked, they and what
 * they need would cost every agent two megabytes of resident memory from its start on. The headers
 * give the types; each function stands in one of the lists below, and its name means the loaded one
 * from here on. For net_quic*.c only.
 */
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#include "lib/base/err.h"

#define NET_QUIC_LIST_QUIC(X)                                                                      \
 X(ngtcp2_accept)                                                                                  \
 X(ngtcp2_cid_init)                                                                                \
 X(ngtcp2_conn_client_new_versioned)                                                               \
 X(ngtcp2_conn_del)                                                                                \
 X(ngtcp2_conn_get_connection_close_error)                                                         \
 X(ngtcp2_conn_get_cwnd_left)                                                                      \
 X(ngtcp2_conn_get_dcid)                                                                           \
 X(ngtcp2_conn_get_expiry)                                                                         \
 X(ngtcp2_conn_get_path)                                                                           \
 X(ngtcp2_conn_get_path_max_tx_udp_payload_size)                                                   \
 X(ngtcp2_conn_get_remote_transport_params)                                                        \
 X(ngtcp2_conn_get_tls_alert)                                                                      \
 X(ngtcp2_conn_handle_expiry)                                                                      \
 X(ngtcp2_conn_is_in_closing_period)                                                               \
 X(ngtcp2_conn_is_in_draining_period)                                                              \
 X(ngtcp2_conn_read_pkt_versioned)                                                                 \
 X(ngtcp2_conn_server_new_versioned)                                                               \
 X(ngtcp2_conn_set_keep_alive_timeout)                                                             \
 X(ngtcp2_conn_set_tls_native_handle)                                                              \
 X(ngtcp2_conn_write_connection_close_versioned)                                                   \
 X(ngtcp2_conn_write_pkt_versioned)                                                                \
 X(ngtcp2_conn_writev_datagram_versioned)                                                          \
 X(ngtcp2_connection_close_error_default)                                                          \
 X(ngtcp2_connection_close_error_set_application_error)                                            \
 X(ngtcp2_connection_close_error_set_transport_error_liberr)                                       \
 X(ngtcp2_connection_close_error_set_transport_error_tls_alert)                                    \
 X(ngtcp2_path_storage_zero)                                                                       \
 X(ngtcp2_pkt_decode_version_cid)                                                                  \
 X(ngtcp2_pkt_write_stateless_reset)                                                               \
 X(ngtcp2_pkt_write_version_negotiation)                                                           \
 X(ngtcp2_settings_default_versioned)                                                              \
 X(ngtcp2_strerror)                                                                                \
 X(ngtcp2_transport_params_default_versioned)

#define NET_QUIC_LIST_CRYPTO(X)                                                                    \
 X(ngtcp2_crypto_client_initial_cb)                                                                \
 X(ngtcp2_crypto_decrypt_cb)                                                                       \
 X(ngtcp2_crypto_delete_crypto_aead_ctx_cb)                                                        \
 X(ngtcp2_crypto_delete_crypto_cipher_ctx_cb)                                                      \
 X(ngtcp2_crypto_encrypt_cb)                                                                       \
 X(ngtcp2_crypto_generate_retry_token)                                                             \
 X(ngtcp2_crypto_generate_stateless_reset_token)                                                   \
 X(ngtcp2_crypto_get_path_challenge_data_cb)                                                       \
 X(ngtcp2_crypto_gnutls_configure_client_session)                                                  \
 X(ngtcp2_crypto_gnutls_configure_server_session)                                                  \
 X(ngtcp2_crypto_hp_mask_cb)                                                                       \
 X(ngtcp2_crypto_recv_client_initial_cb)                                                           \
 X(ngtcp2_crypto_recv_crypto_data_cb)                                                              \
 X(ngtcp2_crypto_recv_retry_cb)                                                                    \
 X(ngtcp2_crypto_update_key_cb)                                                                    \
 X(ngtcp2_crypto_verify_retry_token)                                                               \
 X(ngtcp2_crypto_version_negotiation_cb)                                                           \
 X(ngtcp2_crypto_write_retry)

#define NET_QUIC_LIST_TLS(X)                                                                       \
 X(gnutls_alert_get_name)                                                                          \
 X(gnutls_alpn_get_selected_protocol)                                                              \
 X(gnutls_alpn_set_protocols)                                                                      \
 X(gnutls_certificate_allocate_credentials)                                                        \
 X(gnutls_certificate_free_credentials)                                                            \
 X(gnutls_certificate_get_peers)                                                                   \
 X(gnutls_certificate_set_verify_function)                                                         \
 X(gnutls_certificate_set_x509_key_file)                                                           \
 X(gnutls_credentials_set)                                                                         \
 X(gnutls_deinit)                                                                                  \
 X(gnutls_handshake_set_hook_function)                                                             \
 X(gnutls_init)                                                                                    \
 X(gnutls_priority_set_direct)                                                                     \
 X(gnutls_server_name_set)                                                                         \
 X(gnutls_session_get_ptr)                                                                         \
 X(gnutls_session_set_ptr)                                                                         \
 X(gnutls_strerror)

struct net_quic_lib {
#define NET_QUIC_SLOT(name) typeof(&name) name;
	NET_QUIC_LIST_QUIC(NET_QUIC_SLOT)
	NET_QUIC_LIST_CRYPTO(NET_QUIC_SLOT)
	NET_QUIC_LIST_TLS(NET_QUIC_SLOT)
#undef NET_QUIC_SLOT
};

/* Filled once, by the first net_quic_lib_open() that succeeds; the libraries are never unloaded. */
extern struct net_quic_lib net_quic_lib;

/* LN_E_UNSUPPORTED: a library or one of its functions is not on this machine. From any thread. */
LN_MUST_CHECK int net_quic_lib_open(struct ln_fail *f);

#ifndef NET_QUIC_LIB_TABLE
# define ngtcp2_accept (*net_quic_lib.ngtcp2_accept)
# define ngtcp2_cid_init (*net_quic_lib.ngtcp2_cid_init)
# define ngtcp2_conn_client_new_versioned (*net_quic_lib.ngtcp2_conn_client_new_versioned)
# define ngtcp2_conn_del (*net_quic_lib.ngtcp2_conn_del)
# define ngtcp2_conn_get_connection_close_error                                                    \
  (*net_quic_lib.ngtcp2_conn_get_connection_close_error)
# define ngtcp2_conn_get_cwnd_left (*net_quic_lib.ngtcp2_conn_get_cwnd_left)
# define ngtcp2_conn_get_dcid (*net_quic_lib.ngtcp2_conn_get_dcid)
# define ngtcp2_conn_get_expiry (*net_quic_lib.ngtcp2_conn_get_expiry)
# define ngtcp2_conn_get_path (*net_quic_lib.ngtcp2_conn_get_path)
# define ngtcp2_conn_get_path_max_tx_udp_payload_size                                              \
  (*net_quic_lib.ngtcp2_conn_get_path_max_tx_udp_payload_size)
# define ngtcp2_conn_get_remote_transport_params                                                   \
  (*net_quic_lib.ngtcp2_conn_get_remote_transport_params)
# define ngtcp2_conn_get_tls_alert (*net_quic_lib.ngtcp2_conn_get_tls_alert)
# define ngtcp2_conn_handle_expiry (*net_quic_lib.ngtcp2_conn_handle_expiry)
# define ngtcp2_conn_is_in_closing_period (*net_quic_lib.ngtcp2_conn_is_in_closing_period)
# define ngtcp2_conn_is_in_draining_period (*net_quic_lib.ngtcp2_conn_is_in_draining_period)
# define ngtcp2_conn_read_pkt_versioned (*net_quic_lib.ngtcp2_conn_read_pkt_versioned)
# define ngtcp2_conn_server_new_versioned (*net_quic_lib.ngtcp2_conn_server_new_versioned)
# define ngtcp2_conn_set_keep_alive_timeout (*net_quic_lib.ngtcp2_conn_set_keep_alive_timeout)
# define ngtcp2_conn_set_tls_native_handle (*net_quic_lib.ngtcp2_conn_set_tls_native_handle)
# define ngtcp2_conn_write_connection_close_versioned                                              \
  (*net_quic_lib.ngtcp2_conn_write_connection_close_versioned)
# define ngtcp2_conn_write_pkt_versioned (*net_quic_lib.ngtcp2_conn_write_pkt_versioned)
# define ngtcp2_conn_writev_datagram_versioned (*net_quic_lib.ngtcp2_conn_writev_datagram_versioned)
# define ngtcp2_connection_close_error_default (*net_quic_lib.ngtcp2_connection_close_error_default)
# define ngtcp2_connection_close_error_set_application_error                                       \
  (*net_quic_lib.ngtcp2_connection_close_error_set_application_error)
# define ngtcp2_connection_close_error_set_transport_error_liberr                                  \
  (*net_quic_lib.ngtcp2_connection_close_error_set_transport_error_liberr)
# define ngtcp2_connection_close_error_set_transport_error_tls_alert                               \
  (*net_quic_lib.ngtcp2_connection_close_error_set_transport_error_tls_alert)
# define ngtcp2_path_storage_zero (*net_quic_lib.ngtcp2_path_storage_zero)
# define ngtcp2_pkt_decode_version_cid (*net_quic_lib.ngtcp2_pkt_decode_version_cid)
# define ngtcp2_pkt_write_stateless_reset (*net_quic_lib.ngtcp2_pkt_write_stateless_reset)
# define ngtcp2_pkt_write_version_negotiation (*net_quic_lib.ngtcp2_pkt_write_version_negotiation)
# define ngtcp2_settings_default_versioned (*net_quic_lib.ngtcp2_settings_default_versioned)
# define ngtcp2_strerror (*net_quic_lib.ngtcp2_strerror)
# define ngtcp2_transport_params_default_versioned                                                 \
  (*net_quic_lib.ngtcp2_transport_params_default_versioned)
# define ngtcp2_crypto_client_initial_cb (*net_quic_lib.ngtcp2_crypto_client_initial_cb)
# define ngtcp2_crypto_decrypt_cb (*net_quic_lib.ngtcp2_crypto_decrypt_cb)
# define ngtcp2_crypto_delete_crypto_aead_ctx_cb                                                   \
  (*net_quic_lib.ngtcp2_crypto_delete_crypto_aead_ctx_cb)
# define ngtcp2_crypto_delete_crypto_cipher_ctx_cb                                                 \
  (*net_quic_lib.ngtcp2_crypto_delete_crypto_cipher_ctx_cb)
# define ngtcp2_crypto_encrypt_cb (*net_quic_lib.ngtcp2_crypto_encrypt_cb)
# define ngtcp2_crypto_generate_retry_token (*net_quic_lib.ngtcp2_crypto_generate_retry_token)
# define ngtcp2_crypto_generate_stateless_reset_token                                              \
  (*net_quic_lib.ngtcp2_crypto_generate_stateless_reset_token)
# define ngtcp2_crypto_get_path_challenge_data_cb                                                  \
  (*net_quic_lib.ngtcp2_crypto_get_path_challenge_data_cb)
# define ngtcp2_crypto_gnutls_configure_client_session                                             \
  (*net_quic_lib.ngtcp2_crypto_gnutls_configure_client_session)
# define ngtcp2_crypto_gnutls_configure_server_session                                             \
  (*net_quic_lib.ngtcp2_crypto_gnutls_configure_server_session)
# define ngtcp2_crypto_hp_mask_cb (*net_quic_lib.ngtcp2_crypto_hp_mask_cb)
# define ngtcp2_crypto_recv_client_initial_cb (*net_quic_lib.ngtcp2_crypto_recv_client_initial_cb)
# define ngtcp2_crypto_recv_crypto_data_cb (*net_quic_lib.ngtcp2_crypto_recv_crypto_data_cb)
# define ngtcp2_crypto_recv_retry_cb (*net_quic_lib.ngtcp2_crypto_recv_retry_cb)
# define ngtcp2_crypto_update_key_cb (*net_quic_lib.ngtcp2_crypto_update_key_cb)
# define ngtcp2_crypto_verify_retry_token (*net_quic_lib.ngtcp2_crypto_verify_retry_token)
# define ngtcp2_crypto_version_negotiation_cb (*net_quic_lib.ngtcp2_crypto_version_negotiation_cb)
# define ngtcp2_crypto_write_retry (*net_quic_lib.ngtcp2_crypto_write_retry)
# define gnutls_alert_get_name (*net_quic_lib.gnutls_alert_get_name)
# define gnutls_alpn_get_selected_protocol (*net_quic_lib.gnutls_alpn_get_selected_protocol)
# define gnutls_alpn_set_protocols (*net_quic_lib.gnutls_alpn_set_protocols)
# define gnutls_certificate_allocate_credentials                                                   \
  (*net_quic_lib.gnutls_certificate_allocate_credentials)
# define gnutls_certificate_free_credentials (*net_quic_lib.gnutls_certificate_free_credentials)
# define gnutls_certificate_get_peers (*net_quic_lib.gnutls_certificate_get_peers)
# define gnutls_certificate_set_verify_function                                                    \
  (*net_quic_lib.gnutls_certificate_set_verify_function)
# define gnutls_certificate_set_x509_key_file (*net_quic_lib.gnutls_certificate_set_x509_key_file)
# define gnutls_credentials_set (*net_quic_lib.gnutls_credentials_set)
# define gnutls_deinit (*net_quic_lib.gnutls_deinit)
# define gnutls_handshake_set_hook_function (*net_quic_lib.gnutls_handshake_set_hook_function)
# define gnutls_init (*net_quic_lib.gnutls_init)
# define gnutls_priority_set_direct (*net_quic_lib.gnutls_priority_set_direct)
# define gnutls_server_name_set (*net_quic_lib.gnutls_server_name_set)
# define gnutls_session_get_ptr (*net_quic_lib.gnutls_session_get_ptr)
# define gnutls_session_set_ptr (*net_quic_lib.gnutls_session_set_ptr)
# define gnutls_strerror (*net_quic_lib.gnutls_strerror)
#endif
