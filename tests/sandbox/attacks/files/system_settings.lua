-- flags: --allow-read /sys
integrations.replicate.create_file{ path = '/sys/kernel/uevent_seqnum' }
