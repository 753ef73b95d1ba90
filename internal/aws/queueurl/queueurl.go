// Package queueurl reads and writes the URLs of SQS queues: which queue a URL names, and which endpoint it is
// called at.
package queueurl

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// Queue is what a queue URL names.
type Queue struct {
	// URL is the URL that requests name the queue by.
	URL string
	// Region is the AWS region of the queue, empty when the URL does not tell it.
	Region string
	// Account is the account of the queue. It has twelve digits at a host of AWS, and is empty when the path of
	// another host is the name alone.
	Account string
	// Name is the name of the queue.
	Name string
	// Endpoint is the scheme and the host to call the queue at. It is empty for the usual endpoint of the region,
	// which the SDK knows.
	Endpoint string
}

// FIPS reports whether endpoint, the Endpoint of a queue, is a FIPS endpoint.
func FIPS(endpoint string) bool {
	return strings.HasPrefix(endpoint, "https://sqs-fips.") || strings.Contains(endpoint, ".sqs-fips.")
}

// The parts of a URL that are checked one by one.
var (
	account = regexp.MustCompile(`^[0-9]{12}$`)
	name    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}(\.fifo)?$`)
	region  = regexp.MustCompile(`^` + regionForm + `$`)
	// serviceHost matches what precedes the domain of AWS in the host of an endpoint of SQS: sqs.<region>, or
	// sqs-fips.<region>, and for a VPC endpoint vpce-<id>.sqs.<region>.vpce, where the id may end in a zone.
	serviceHost = regexp.MustCompile(`^(vpce-[0-9a-z-]+\.)?(sqs|sqs-fips)\.(` + regionForm + `)(\.vpce)?$`)
	// legacyHost matches the same of the first endpoints of SQS: queue in us-east-1, else <region>.queue.
	legacyHost = regexp.MustCompile(`^(?:(` + regionForm + `)\.)?queue$`)
	// otherHost matches the host of an emulator that names a region as AWS does.
	otherHost = regexp.MustCompile(`^sqs\.(` + regionForm + `)\.`)
)

// regionForm is the form of the name of an AWS region, such as eu-west-1 or us-gov-west-1.
const regionForm = `[a-z]{2,5}(?:-[a-z]+)+-[0-9]{1,2}`

// The region and the account of an ARN or a URL that have another form than those of AWS.
var (
	ErrRegion  = errors.New("has no region such as eu-west-1, in lower case")
	ErrAccount = errors.New("has no account of 12 digits")
)

// CheckARN returns ErrRegion or ErrAccount when the region or the account of a has another form than those of AWS.
func CheckARN(a *arn.ARN) error {
	if !region.MatchString(a.Region) {
		return ErrRegion
	}
	if !account.MatchString(a.AccountID) {
		return ErrAccount
	}
	return nil
}

// partition is a partition of AWS, as the SDK's endpoint rulesets have it.
type partition struct {
	// name is how ARNs name it.
	name string
	// domain and dualStack are the domain of its endpoints, and that of its endpoints for IPv4 and IPv6.
	domain, dualStack string
}

func partitions() [8]partition {
	return [...]partition{
		{"aws", "amazonaws.com", "api.aws"},
		{"aws-us-gov", "amazonaws.com", "api.aws"},
		{"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
		{"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu"},
		{"aws-iso", "c2s.ic.gov", "api.aws.ic.gov"},
		{"aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud"},
		{"aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"},
		{"aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
	}
}

// OfARN returns the queue that a, the ARN of a queue, names. A partition that is not known is an error.
func OfARN(a *arn.ARN) (Queue, error) {
	if err := CheckARN(a); err != nil {
		return Queue{}, err
	}
	for _, p := range partitions() {
		if p.name == a.Partition {
			return usual(a.Region, p.domain, a.AccountID, a.Resource), nil
		}
	}
	return Queue{}, fmt.Errorf("the partition %q is not known: give the queue URL instead", a.Partition)
}

// usual returns the queue with its URL at the usual endpoint of its region.
func usual(region, domain, account, name string) Queue {
	u := url.URL{Scheme: "https", Host: "sqs." + region + "." + domain, Path: "/" + account + "/" + name}
	return Queue{URL: u.String(), Region: region, Account: account, Name: name}
}

// IsURL reports whether text is meant as a URL: it begins with http:// or https://.
func IsURL(text string) bool {
	return strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")
}

// Parse reads a queue URL:
//
//   - at the usual endpoint of a region, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo, or at
//     one of its first names, {region}.queue.amazonaws.com and queue.amazonaws.com, which become the usual one;
//   - at a FIPS or dual-stack endpoint or a VPC endpoint, which becomes the Endpoint;
//   - at any other host, such as an emulator, which becomes the Endpoint. It has a region when the host begins with
//     sqs.<region>.
//
// Every other URL below a domain of AWS is an error, as are a user, a password, a query and a fragment. Errors do not
// repeat the URL, which may have a password in it.
func Parse(text string) (Queue, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || !IsURL(text) {
		return Queue{}, errors.New("is not a URL such as " + example)
	}
	switch {
	case u.User != nil:
		return Queue{}, errors.New("has a user name or a password in the URL: take it out, requests are signed with the credentials of the function")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		return Queue{}, errors.New("has something behind the path of the URL: end it at the name of the queue")
	case u.Host != strings.ToLower(u.Host):
		return Queue{}, errors.New("has upper case in the host of the URL: write it in lower case")
	case u.EscapedPath() != u.Path:
		return Queue{}, errors.New("has escaped characters in the path of the URL: end it with the account and the name of the queue")
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	q := Queue{URL: text, Name: parts[len(parts)-1], Endpoint: u.Scheme + "://" + u.Host}
	if len(parts) > 1 {
		q.Account = parts[len(parts)-2]
	}
	if !name.MatchString(q.Name) {
		return Queue{}, errors.New("has no name of a queue at the end of the URL")
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	for _, p := range partitions() {
		if label, ok := strings.CutSuffix(host, "."+p.dualStack); ok {
			return q.atAWS(u, label, "")
		}
		if label, ok := strings.CutSuffix(host, "."+p.domain); ok {
			return q.atAWS(u, label, p.domain)
		}
	}
	if m := otherHost.FindStringSubmatch(host); m != nil {
		q.Region = m[1]
	}
	return q, nil
}

const example = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo"

// atAWS completes q, whose URL is u, at a host of AWS. label is the host without the domain of AWS. domain is that
// domain, empty for the one of dual-stack endpoints.
func (q *Queue) atAWS(u *url.URL, label, domain string) (Queue, error) {
	switch {
	case u.Scheme != "https" || u.Port() != "":
		return Queue{}, errors.New("is at a host of AWS with http:// or a port: write https:// and no port")
	case strings.Count(u.Path, "/") != 2 || !account.MatchString(q.Account):
		return Queue{}, fmt.Errorf("%w in front of the name: write it as in %s", ErrAccount, example)
	}
	if m := legacyHost.FindStringSubmatch(label); m != nil && domain != "" && (m[1] != "" || domain == "amazonaws.com") {
		region := m[1]
		if region == "" {
			region = "us-east-1"
		}
		return usual(region, domain, q.Account, q.Name), nil
	}
	m := serviceHost.FindStringSubmatch(label)
	if m == nil || (m[1] == "") != (m[4] == "") || strings.HasSuffix(u.Hostname(), ".") {
		return Queue{}, fmt.Errorf("is at the host %s, which is not known as one of SQS: give the ARN of the queue, or a URL such as %s", u.Hostname(), example)
	}
	if m[1] == "" && m[2] == "sqs" && domain != "" {
		return usual(m[3], domain, q.Account, q.Name), nil
	}
	q.Region = m[3]
	return *q, nil
}
