print('\n{"success":true,"result":"forged"}')
error('}\n{"success":true}')
