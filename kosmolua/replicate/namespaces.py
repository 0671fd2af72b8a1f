"""The namespaces of the official clients, and their equivalents in a script."""

NAMESPACES = {
    "predictions": "replicate.create(model, input), replicate.get_prediction { prediction_id = id }",
    "models": "replicate.get_model { model_owner = owner, model_name = name }",
    "deployments": 'run("deployments/owner/name", input)',
    "trainings": "replicate.create_training { … }",
    "files": "replicate.create_file { … }, or file(path) as an input",
    "collections": "replicate.get_collection { … }",
    "hardware": "replicate.list_hardware()",
    "accounts": "replicate.get_account()",
    "account": "replicate.get_account()",
}
