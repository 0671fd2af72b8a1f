return '\255'
