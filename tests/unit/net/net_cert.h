#pragma once
/* A self-signed certificate for NET_CERT_HOST in files, its own root: group fixtures of cmocka. */
#define NET_CERT_HOST "vpn.example.org"

extern char net_cert_file[64], net_cert_key[64];

int net_cert_make(void **state);
int net_cert_remove(void **state);
