package boot_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/functions/internal/boot"
)

// A company's proxy is trusted by AWS_CA_BUNDLE, as by all AWS tools.
func TestAuthoritiesOfTheEnvironmentAreTrusted(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	get := func() error {
		aws, err := boot.LoadAWS(t.Context(), 4)
		if err != nil {
			t.Fatal(err)
		}
		defer aws.HTTP.CloseIdleConnections()
		if aws.Config.HTTPClient != aws.HTTP {
			t.Error("the clients of AWS services do not share the connections")
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := aws.HTTP.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	if err := get(); err == nil {
		t.Error("an unknown authority is trusted")
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", file)
	if err := get(); err != nil {
		t.Errorf("with AWS_CA_BUNDLE: %v", err)
	}
}
