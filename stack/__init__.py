"""The stack: its definition and settings, ``deploy`` builds it, ``engine`` surrounds it, ``commands`` drives it."""
