-- flags: --write deny
spawn(function() integrations.replicate.create_prediction{ version = 'v', input = {} } end):await()
