-- flags: --write deny
return integrations.replicate.Create_Prediction
