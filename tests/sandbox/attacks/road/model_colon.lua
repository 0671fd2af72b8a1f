--@ models: meta/*, other/*
integrations.replicate.create_deployment{
  name = 'd', model = 'meta/x:', version = 'v', hardware = 'cpu', min_instances = 0, max_instances = 1,
}
