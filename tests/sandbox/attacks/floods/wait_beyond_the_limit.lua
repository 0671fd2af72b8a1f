-- flags: --time-limit 0.5
integrations.replicate.create_model_prediction{
  model_owner = 'minimax', model_name = 'video-01', input = { prompt = 'x' }, prefer = 'wait=60',
}
