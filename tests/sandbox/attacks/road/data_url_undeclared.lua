--@ needs: get_account
-- flags: --allow-write open
download('data:,hello', 'open/out')
