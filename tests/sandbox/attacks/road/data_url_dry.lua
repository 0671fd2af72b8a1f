-- flags: --dry-run --allow-write open
local planned = download('data:,hello', 'open/out')
return planned.method, planned.size == nil
