integrations.replicate.list_predictions{ cursor = 'x&limit=1#' }
