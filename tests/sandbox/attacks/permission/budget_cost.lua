-- flags: --max-cost 1 --force
integrations.replicate.create_model_prediction{
  model_owner = 'black-forest-labs', model_name = 'flux-schnell', input = { prompt = 'x' },
}
