// Package localstack holds what the local tools share about LocalStack.
package localstack

import _ "embed"

// Version is the LocalStack release that the project runs on: the last one
// that needs no account token. Later images exit without
// LOCALSTACK_AUTH_TOKEN, and the repository is archived, so it will not move.
const Version = "4.14.0"

// PythonVersion is the Python that release runs on. Its dependencies are
// neither built nor tested for another.
const PythonVersion = "3.13"

// Lock is a pip requirements file that names every package of a host-mode
// LocalStack that ran. The release does not cap its dependencies, and it breaks
// on today's cbor2, pyOpenSSL and twisted.
//
//go:embed localstack-4.14.0.lock.txt
var Lock []byte
