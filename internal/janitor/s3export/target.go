// Package s3export stores files of archived events in a bucket of Amazon S3.
package s3export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

// Target stores files in an S3 bucket. It is safe for concurrent use. It needs the permissions s3:PutObject and
// s3:GetObject on the objects, and s3:ListBucket on the bucket, without which S3 answers 403 for a missing object.
type Target struct {
	client *s3.Client
	bucket string
}

var _ janitor.Target = (*Target)(nil)

// New returns the target that stores files in the bucket with that name. It does not call S3.
func New(client *s3.Client, bucket string) *Target { return &Target{client: client, bucket: bucket} }

// Put implements [janitor.Target]. It then calls Verify. S3 computes the SHA-256 of what it receives and refuses
// content with another than sum
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
func (t *Target) Put(ctx context.Context, key string, content []byte, sum [sha256.Size]byte) error {
	_, err := t.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:         &t.bucket,
		Key:            &key,
		Body:           bytes.NewReader(content),
		ContentLength:  aws.Int64(int64(len(content))),
		ContentType:    aws.String("application/x-ndjson"),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	})
	if err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return t.Verify(ctx, key, int64(len(content)), sum)
}

// Verify implements [janitor.Target]. It reads the size and the checksum that S3 stores with the object, not the
// object.
func (t *Target) Verify(ctx context.Context, key string, size int64, sum [sha256.Size]byte) error {
	out, err := t.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if _, missing := errors.AsType[*types.NotFound](err); missing {
		return fmt.Errorf("head object: %w: it is missing", janitor.ErrAltered)
	}
	if err != nil {
		return fmt.Errorf("head object: %w", err)
	}
	if got := aws.ToInt64(out.ContentLength); got != size {
		return fmt.Errorf("head object: %w: it has %d bytes, was written with %d", janitor.ErrAltered, got, size)
	}
	if got, want := aws.ToString(out.ChecksumSHA256), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return fmt.Errorf("head object: %w: its SHA-256 is %q, was written with %q", janitor.ErrAltered, got, want)
	}
	return nil
}

// Location implements [janitor.Target]: it returns s3://bucket/key.
func (t *Target) Location(key string) string { return "s3://" + t.bucket + "/" + key }
