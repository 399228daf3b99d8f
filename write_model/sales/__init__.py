"""Sales: from draft to confirmed or cancelled."""
