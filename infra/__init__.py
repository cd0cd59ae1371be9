"""What `cdk deploy` deploys: an app of two stacks, one construct per capability, the state machine as an ASL file."""
