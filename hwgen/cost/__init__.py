"""What a design costs on a device: predicted from the plan, synthesized, placed and routed, in gates, in energy."""
