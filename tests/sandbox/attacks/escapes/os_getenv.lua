return os.getenv('REPLICATE_API_KEY')
