log('\226\128\174nekot\226\129\166')
error('\226\128\174detnarg')
