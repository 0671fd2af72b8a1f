local version = replicate.get_model_version { model_owner = "acme", model_name = "painter" }
print(version.id)
