# Reads an environment's variables, so that its plan can be tested as it will be applied.
terraform {
  required_providers {
    terraform = {
      source = "terraform.io/builtin/terraform"
    }
  }
}

variable "file" {
  type = string
}

output "values" {
  value = provider::terraform::decode_tfvars(file(var.file))
}
