package sqsdlq_test

import "flag"

// campaign runs the large versions: make redrive-campaign.
var campaign = flag.Bool("redrive.campaign", false, "redrive 10,000 messages where a test redrives 480")
