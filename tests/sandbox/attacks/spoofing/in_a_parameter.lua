integrations.replicate.get_account{ ['\27[2J\226\128\174'] = 1 }
