"""Commands for operators, who have AWS credentials and the name of a deployment."""
