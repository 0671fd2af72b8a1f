--@ models: meta/*, other/*
integrations.replicate.create_deployment{
  name = 'd', model = 'meta%2Fx', version = 'v', hardware = 'cpu', min_instances = 0, max_instances = 1,
}
