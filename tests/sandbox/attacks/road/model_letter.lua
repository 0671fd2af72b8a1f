--@ models: meta/*, other/*
integrations.replicate.create_deployment{
  name = 'd', model = 'm\208\181ta/x', version = 'v', hardware = 'cpu', min_instances = 0, max_instances = 1,
}
