integrations.replicate.get_model_version{
  model_owner = 'a', model_name = 'b', version_id = '../../../account',
}
