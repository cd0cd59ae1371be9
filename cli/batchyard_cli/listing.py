"""The list of commands: where each is, and its line in `batchyard --help`. Imports nothing."""

CUSTOMERS = {
    "login": ("commands.signing_in:login", "Store the address of a deployment and your API key."),
    "logout": ("commands.signing_in:logout", "Forget the stored API key."),
    "run": ("commands.running:run", "Send a file, watch its batch, bring the results."),
    "submit": ("commands.running:submit", "Send a file as a batch, and do not wait."),
    "watch": ("commands.running:watch", "Watch a batch until it ends, and bring its results."),
    "ls": ("commands.looking:ls", "List your batches, newest first."),
    "show": ("commands.looking:show", "Everything about one batch."),
    "results": ("commands.looking:results", "Download the results of a batch."),
    "cancel": ("commands.looking:cancel", "Stop a batch; what is done is kept."),
    "check": ("commands.inputs:check", "Check a file as the server would, before anything is sent."),
    "cost": ("commands.costs:cost", "What a file would cost, on which lanes; or --deployment's costs."),
    "split": ("commands.pieces:split", "Cut a file that is over a limit into several."),
    "merge": ("commands.pieces:merge", "Join the results of several files."),
    "completion": ("commands.completion:completion", "Print what makes your shell complete these commands."),
}
"""Name -> `module:name` below this package, and what it does."""
OPERATORS = {
    "doctor": ("operators.doctor:doctor", "What is wrong with a deployment, and what to do about it."),
    "accounts": ("operators.accounts:accounts", "List and make accounts, set their weights."),
    "keys": ("operators.accounts:keys", "List, make and revoke API keys."),
    "credits": ("operators.credits:credits", "Balances: show, top up, list entries, set billing."),
    "lanes": ("operators.lanes:lanes", "How the lanes of open batches are: health, rate, workers."),
    "dead-letters": ("operators.dead_letters:dead_letters", "List what was given up, and send it again."),
    "tail": ("operators.story:tail", "The story of a batch, from its rows and the logs."),
}
SECTIONS = {"Commands": CUSTOMERS, "For operators, with AWS credentials": OPERATORS}
