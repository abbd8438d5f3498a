@echo off
rem Runs after every successful site backup, as Local System. Written by 'afterbackup init --bat'.
"C:\Program Files\afterbackup\afterbackup.exe" --config "C:\ProgramData\afterbackup\afterbackup.toml" run --no-wait
exit /b %ERRORLEVEL%
