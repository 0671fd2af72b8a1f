-- flags: --allow-env REPLICATE_API_KEY
return os.getenv('REPLICATE_API_KEY')
