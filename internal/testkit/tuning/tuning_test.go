package tuning

import (
	"reflect"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Every field goes through the text and reaches the field of its name.
func TestEverySettingArrives(t *testing.T) {
	t.Parallel()
	var sent, got Tuning
	for i := range reflect.TypeFor[Tuning]().NumField() {
		reflect.ValueOf(&sent).Elem().Field(i).SetInt(int64(time.Second) * int64(i+1))
	}
	text, err := Tuning{}.Or(sent).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if err = got.UnmarshalText(text); err != nil || got != sent || sent.Or(Tuning{Margin: 1}) != sent {
		t.Fatalf("got %+v of %s, error %v", got, text, err)
	}
	var function boot.Relay
	var engine relay.Config
	got.Function(&function)
	got.Engine(&engine)
	for f, want := range reflect.ValueOf(sent).Fields() {
		reached := false
		for _, of := range []reflect.Value{reflect.ValueOf(function), reflect.ValueOf(engine)} {
			field := of.FieldByName(f.Name)
			reached = reached || field.IsValid() && field.Interface() == want.Interface()
		}
		if !reached {
			t.Errorf("%s reaches nothing", f.Name)
		}
	}
}
