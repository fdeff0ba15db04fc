# A toolchain for CPU=cortex-m4 and its like, with FLOAT=-mfloat-abi=soft or the FPU; semihosting.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES CPU FLOAT)
set(CMAKE_C_FLAGS_INIT
    "-mcpu=${CPU} -mthumb ${FLOAT} -O2 -ffunction-sections -fdata-sections")
set(CMAKE_EXE_LINKER_FLAGS_INIT
    "--specs=rdimon.specs -nostartfiles -T${CMAKE_CURRENT_LIST_DIR}/cortex-m.ld -Wl,--gc-sections,--no-warn-rwx-segments")
