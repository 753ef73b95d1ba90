package hostmode

import _ "embed"

// Version is the LocalStack release that the project runs on: the last one that needs no account token. Later images
// exit without LOCALSTACK_AUTH_TOKEN, and the repository is archived, so no newer release will change that.
const Version = "4.14.0"

// Lock is a pip requirements file that pins every package of a LocalStack in host
// mode that was seen to run. The release itself sets no upper bounds on its
// dependencies, and it breaks on newer versions of cbor2, pyOpenSSL and twisted.
//
//go:embed localstack-4.14.0.lock.txt
var Lock []byte
