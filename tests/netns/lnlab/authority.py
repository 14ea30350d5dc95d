"""A throw-away certificate authority, for servers that speak TLS."""
import subprocess

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def certificate(folder, address):
    """Makes an authority and a certificate of the address in the folder: (ca, certificate, key)."""
    ca, ca_key, cert, key, request = (folder / n for n in ("ca.pem", "ca.key", "srv.pem", "srv.key", "srv.csr"))
    extensions = folder / "srv.ext"
    extensions.write_text(f"subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n")
    for words in (["req", "-x509", *CURVE, "-keyout", ca_key, "-out", ca, "-subj", "/CN=lab authority", "-days", "2"],
                  ["req", *CURVE, "-keyout", key, "-out", request, "-subj", "/CN=lab server"],
                  ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", cert,
                   "-days", "2", "-extfile", extensions]):
        subprocess.run(["openssl", *[str(w) for w in words]], check=True, capture_output=True)
    return ca, cert, key
