"""The kinds of tasks that process-task does for billing. Alone in here, so that whoever asks loads nothing else."""

STRIPE_EVENT = "stripe-event"
SYNC_ACCOUNT = "sync-account"
