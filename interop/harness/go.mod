module azure-kms-provider/interop/harness

go 1.26.0
