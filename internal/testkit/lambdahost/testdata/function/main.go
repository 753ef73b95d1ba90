// Command function is a Lambda function whose request says what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type request struct {
	Do    string `json:"do"`
	Text  string `json:"text"`
	Until string `json:"until"`
}

type answer struct {
	Text        string            `json:"text"`
	PID         int               `json:"pid"`
	Invocations int               `json:"invocations"`
	Beats       int64             `json:"beats"`
	RequestID   string            `json:"request_id"`
	ARN         string            `json:"arn"`
	Remaining   time.Duration     `json:"remaining"`
	Env         map[string]string `json:"env"`
}

func main() {
	if os.Getenv("FAIL_INIT") != "" {
		fmt.Println("cannot start")
		os.Exit(3)
	}
	var beats atomic.Int64
	go func() {
		for range time.Tick(time.Millisecond) {
			beats.Add(1)
		}
	}()
	invocations := 0
	var opts []lambda.Option
	if path := os.Getenv("TERM_FILE"); path != "" {
		opts = append(opts, lambda.WithEnableSIGTERM(func() {
			if err := os.WriteFile(path, []byte("term"), 0o600); err != nil {
				fmt.Println(err)
			}
			os.Exit(0)
		}))
	}
	lambda.StartWithOptions(func(ctx context.Context, r request) (answer, error) {
		invocations++
		switch r.Do {
		case "sleep":
			fmt.Println("sleeping")
			signal.Ignore(syscall.SIGTERM)
			select {} // Not even the deadline ends it.
		case "wait":
			fmt.Println("waiting")
			for {
				if _, err := os.Stat(r.Until); err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
		case "fail":
			return answer{}, errors.New(r.Text)
		case "panic":
			panic(r.Text)
		case "exit":
			fmt.Fprint(os.Stderr, "no newline at the end")
			code, err := strconv.Atoi(r.Text)
			if err != nil {
				return answer{}, err
			}
			os.Exit(code)
		}
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		env := map[string]string{}
		for _, name := range []string{
			"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
			"AWS_REGION", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_LOG_FORMAT", "HOME", "MINE",
		} {
			env[name] = os.Getenv(name)
		}
		return answer{
			Text: r.Text, PID: os.Getpid(), Invocations: invocations, Beats: beats.Load(),
			RequestID: lc.AwsRequestID, ARN: lc.InvokedFunctionArn, Remaining: time.Until(deadline), Env: env,
		}, nil
	}, opts...)
}
